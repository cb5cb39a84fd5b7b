"""Other images for trained networks: corruptions made here, published sets, and test images without some of them."""
