"""Training: recipes, stages that can be killed and resumed, ensembles, the run folder."""
