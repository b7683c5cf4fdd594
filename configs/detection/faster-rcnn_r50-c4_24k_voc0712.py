_base_ = ["_base_/faster-rcnn_r50-c4.py", "_base_/voc0712.py", "_base_/schedule_24k.py", "_base_/runtime.py"]
