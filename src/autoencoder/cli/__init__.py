"""From a command line to a function: checks settings and reports mistakes in one line, before torch is imported."""
