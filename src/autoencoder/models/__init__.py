"""From batch to loss: networks, bottlenecks, corruptions and losses, and the LightningModule that trains them."""
