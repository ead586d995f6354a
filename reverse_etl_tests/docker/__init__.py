"""What is deployed: image, compose files, instances and task definitions, held to what is really there."""
