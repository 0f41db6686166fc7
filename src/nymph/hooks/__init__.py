"""Kedro hooks of the project, one file each; `nymph.settings` names those that run."""
