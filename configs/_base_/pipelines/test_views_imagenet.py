# View of a test image whose two draws weigh the experts of SADE at 224x224: the view of MoCo v2.
_base_ = "./moco_imagenet.py"
view_pipeline = [dict(type="LoadImage"), *_base_.moco_view, dict(type="PackInputs")]
