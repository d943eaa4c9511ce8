"""What is compared offline on simulated worlds: rules, crowds, operators, correlation, contrast and skew."""
