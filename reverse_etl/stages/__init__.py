"""One module a stage: extract, mask and land, publish. `pipeline.py` is how others reach them."""
