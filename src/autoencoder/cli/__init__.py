"""From a command line to a function: settings checked, mistakes answered in one line, torch not imported."""
