"""The commands of this package, each in the module of its name."""
