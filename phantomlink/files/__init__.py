"""Reading and writing files safely, whoever wrote them."""
