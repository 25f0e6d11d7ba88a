"""Computed tomography: from a hostile folder to proved Hounsfield units and views."""
