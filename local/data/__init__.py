"""`data`: what is done with datasets on one machine, before and without the pipeline."""
