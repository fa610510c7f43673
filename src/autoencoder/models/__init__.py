"""From batch to loss: the networks, and the LightningModule that trains them."""
