"""Functional MRI as recordings: voxels, grayordinates, vertices, parcels; images back from them; what lies beside."""

from neurointerp.loaders.fmri.bids import entities, find
from neurointerp.loaders.fmri.nifti import to_nifti
from neurointerp.loaders.fmri.reading import load, load_session
from neurointerp.loaders.fmri.surfaces import mesh
from neurointerp.loaders.fmri.tables import confounds, physio

__all__ = ["confounds", "entities", "find", "load", "load_session", "mesh", "physio", "to_nifti"]
