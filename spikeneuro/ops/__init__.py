"""Neuron equations and their backends: tensors in, tensors out."""
