# Any network of timm from weights in a file, --pretrained; another one: --cfg-options net=timm/NAME.
_base_ = "./resnet50.py"
net = "timm/convnext_tiny"
