"""What two runs do to one sync at the same time, one store call after the other, in every order."""
