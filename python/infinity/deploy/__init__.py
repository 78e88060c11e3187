"""What brings the cloud host to an AWS account: constructs of the CDK, and the Lambda layer."""
