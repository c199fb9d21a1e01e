package reference
import ("testing";"fmt")
func TestZZ(t *testing.T){
 for _,l:=range []string{"ja","en"}{
 for _,p:=range [][2]string{{"5.7.511","5.7.64"},{"4.7.652","2.7.8"},{"5.7.511","550"},{"X.7.1","5.7.1"},{"101","421"},{"5.7.8","5.7.1"}}{
  c:=Compare(p[0],p[1],l)
  fmt.Println("=====",p,c.Relation); for _,s:=range c.First{fmt.Println("!",s)}
  for _,s:=range c.KeyDifferences{fmt.Println("-",s)}
  fmt.Println("wa:",c.WhenA,"\nwb:",c.WhenB);
  fmt.Println("note:",c.Note); fmt.Println("use:",c.UseWhich,"\nsug",c.Suggestions)
 }}
}
