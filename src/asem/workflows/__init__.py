"""The public verbs: paths and settings in, volumes and numbers out."""
