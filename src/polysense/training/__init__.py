"""Stages in order, their objectives, the one loop, and checkpoints that resume exactly."""
