"""Fhir."""
