"""The data behind the province's 3D scene."""
