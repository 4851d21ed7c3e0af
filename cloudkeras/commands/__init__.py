"""Sub-commands of the command line, one a module: `configure(parser)` and `run(arguments)`."""
