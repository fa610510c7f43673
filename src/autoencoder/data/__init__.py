"""From file to batch: loads the images, splits them, and deals the batches that the model is trained on."""
