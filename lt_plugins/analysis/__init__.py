"""Analysis of trained models: attributes, latent categories, subclasses, as pages."""
