# ConvNeXt-T from weights in a file, --pretrained.
_base_ = "./resnet50.py"
net = "convnext-tiny"
