"""The daemon as a whole: what lives long (`runtime`), what a config makes (`scope`), a changed config (`reload`),
start, stop and signals (`run`)."""
