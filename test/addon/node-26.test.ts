/**
 * The native addon on Node 26.
 */
import { testLine } from "./suite.js";

testLine(26);
