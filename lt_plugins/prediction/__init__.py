"""Use of a trained classifier: prediction on image files, calibrated confidence, export."""
