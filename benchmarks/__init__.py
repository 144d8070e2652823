"""What kiebot takes and how fast it is: figures to be read, never gates."""
