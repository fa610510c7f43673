"""Numbers of images and their reconstructions."""
