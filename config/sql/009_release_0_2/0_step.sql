-- The step from 0.1.0 to 0.2.0: all files of this folder, in the order of their names, in one transaction.

COMMENT ON SCHEMA slotbell IS 'Slotbell: made and renewed by slotbellctl db init and db upgrade. Do not change it by hand.';
