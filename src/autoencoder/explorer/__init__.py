"""The explorer: one page to open in a browser, with the model inside."""
