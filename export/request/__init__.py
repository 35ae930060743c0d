"""What is asked for, as plain data that decides a build. No torch."""
