"""The typed experiment: validation, grid to cells, one spec file per stage, composed verl configurations."""
