"""Point clouds and meshes: one cloud of points, whatever the format."""
