"""Other images for trained networks: corruptions made here, published sets, and subsets of the test images."""
