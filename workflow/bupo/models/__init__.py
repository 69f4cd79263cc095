"""The models of an experiment: built here and warmed up, or taken from the hub or from a folder."""
