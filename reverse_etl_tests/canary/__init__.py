"""Values that try to get out sideways: through errors, logs, documents and files left behind."""
