"""Tests of the Terraform files in infra/."""
