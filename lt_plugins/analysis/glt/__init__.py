"""What a generalized long-tailed (GLT) benchmark is made from: images, features, attributes, and pages about them."""
