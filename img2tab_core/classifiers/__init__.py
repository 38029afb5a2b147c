"""Classifiers over style codes that one can question: predict, explain a face, exclude concepts, train again."""
