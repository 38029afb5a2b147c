"""A photo's bytes become an upright picture, and its faces aligned crops as FFHQ has them."""
