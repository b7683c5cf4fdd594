# The table at a small scale: 64 epochs.
_base_ = ["_base_/faster-rcnn_r18-c4.py", "_base_/voc07-part.py", "_base_/schedule_2k.py", "_base_/runtime.py"]
