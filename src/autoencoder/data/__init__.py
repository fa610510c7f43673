"""File to batch: the images, their splits, and the batches that the model is trained on."""
