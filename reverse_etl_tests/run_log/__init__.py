"""Tests of the run log: its rows, and the tables of both sources that they go to."""
