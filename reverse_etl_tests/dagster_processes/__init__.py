"""Dagster as it is deployed, as processes on loopback: webserver, daemon, code server and what they need.

`deployment.Deployment` starts and stops the whole; `graphql.Dagster` asks its webserver for things.
"""
